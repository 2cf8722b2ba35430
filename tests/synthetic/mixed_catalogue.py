"""A small catalogue in Chinese, English and both: 50 items of 10 kinds, with titles as shops write them."""

CATALOGUE = {
    "diapers": (
        "婴儿纸尿裤 M码 56片",
        "尿不湿 新生儿 超薄透气",
        "Baby diapers size 3, 120 count",
        "宝宝拉拉裤 夜用",
        "Pampers 帮宝适纸尿裤 L码",
    ),
    "sneakers": (
        "男士运动鞋 透气跑步鞋",
        "Running shoes for women, cushioned sole",
        "女款休闲运动鞋 白色",
        "Nike 耐克篮球鞋",
        "Trail running sneakers, waterproof",
    ),
    "milk": (
        "纯牛奶 250ml 12盒",
        "低脂鲜牛奶 1升",
        "Whole milk, 1 gallon",
        "伊利 Yili 脱脂牛奶",
        "Organic skim milk",
    ),
    "phones": (
        "智能手机 5G 128GB",
        "Android smartphone, dual SIM, unlocked",
        "华为 Huawei 手机 全网通",
        "老人手机 大字体 大音量",
        "Refurbished mobile phone, 64 GB",
    ),
    "shampoo": (
        "去屑洗发水 500ml",
        "Anti-dandruff shampoo for oily hair",
        "海飞丝 Head & Shoulders 洗发露",
        "无硅油洗发水 滋养修护",
        "Moisturizing shampoo with argan oil",
    ),
    "tea": (
        "龙井绿茶 明前特级 250克",
        "Green tea bags, 100 count",
        "铁观音乌龙茶 礼盒装",
        "Earl Grey black tea, loose leaf",
        "普洱茶饼 Pu'er tea 357g",
    ),
    "cat food": (
        "成猫猫粮 三文鱼味 10kg",
        "Dry cat food with chicken",
        "幼猫猫罐头 金枪鱼",
        "Royal Canin 皇家室内猫粮",
        "Grain-free wet food for cats",
    ),
    "umbrellas": (
        "折叠雨伞 晴雨两用",
        "Automatic folding umbrella, windproof",
        "儿童雨伞 卡通",
        "长柄雨伞 双人加大",
        "Golf umbrella 高尔夫雨伞",
    ),
    "keyboards": (
        "机械键盘 青轴 104键",
        "Wireless keyboard and mouse combo",
        "罗技 Logitech 蓝牙键盘",
        "游戏键盘 RGB背光",
        "Compact mechanical keyboard, brown switches",
    ),
    "rice": (
        "东北大米 5公斤",
        "Jasmine rice, 10 lb bag",
        "五常稻花香大米 真空包装",
        "Basmati rice, long grain",
        "糙米 Brown rice 2kg",
    ),
}
"""Titles by kind."""

ITEMS = [(kind, title) for kind, titles in CATALOGUE.items() for title in titles]
